"""The command that compares a result with known copies: evaluate."""

import json

import click

__all__ = ["evaluate"]


@click.command()
@click.argument("store")
@click.argument("truth")
@click.option(
    "--threshold", type=float, help="Largest MSE, or value, of a pair; default: that of the result that was shown last."
)
@click.option("--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last.")
@click.option("--json", "json_file", metavar="FILE", help="Write all figures, wrong and missed pairs; - for the screen.")
def evaluate(store: str, truth: str, threshold: float | None, comparison: str | None, json_file: str | None) -> None:
    """Compare the pairs found in STORE with the known copies in TRUTH: precision, recall, and each kind.

    TRUTH is a CSV file with the columns a, b and optionally kind, or path and cluster; or a JSON file: a list of pairs
    or of clusters, each file with its copies, or what find --json wrote. A name in it is a path, or the end of one.
    """
    from pathlib import Path

    from ..outputs.evaluation import print_evaluation
    from ..project.locations import absolute_store
    from ..results.evaluation import evaluate_stored
    from ..results.stored import choose_stored
    from ..storage.local_files import replaced_file
    from ..storage.store import Store

    chosen = choose_stored(Store(absolute_store(store)), comparison, threshold)
    figures = evaluate_stored(chosen, truth)
    text = json.dumps(figures.to_dict(), indent=1, ensure_ascii=True) + "\n"
    if json_file == "-":
        click.echo(text, nl=False)
        return
    if json_file is not None:
        with replaced_file(Path(json_file).resolve()) as file:
            file.write(text.encode())
    print_evaluation(figures, chosen.described)

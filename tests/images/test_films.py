"""Frames of films: times, lengths, turns, broken and hostile files."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.films import scene, write_film
from support.pictures import mse

from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.images import films
from fastdiff_dask.images.decoder_pool import reader
from fastdiff_dask.images.decoder_process import LENGTH, ListedFile, Request
from fastdiff_dask.images.opening import MissingDecoderError

SCENES = [scene(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    pytest.importorskip("av")
    path = tmp_path_factory.mktemp("films") / "a.mp4"
    write_film(path, SCENES)
    return path


@pytest.fixture(scope="module")
def animation(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "a.gif"
    SCENES[0].save(path, save_all=True, append_images=SCENES[1:], duration=[1000, 500, 2000])
    return path


def frame(path, seconds, pixel_limit=10**9):
    with path.open("rb") as file:
        return Image.open(io.BytesIO(films.frame_content(file, seconds, pixel_limit)))


def small(picture):
    return np.asarray(picture.convert("RGB").resize((32, 32)))


@pytest.mark.parametrize(("seconds", "number"), [(0, 0), (1.9, 0), (2, 1), (3.9, 1), (4, 2), (5.9, 2)])
def test_the_frame_at_a_time(seconds, number, film):
    assert mse(small(frame(film, seconds)), small(SCENES[number])) < 60


@pytest.mark.parametrize(("seconds", "number"), [(0, 0), (0.99, 0), (1, 1), (1.49, 1), (1.5, 2), (3.49, 2)])
def test_the_frame_of_an_animation(seconds, number, animation):
    assert mse(small(frame(animation, seconds)), small(SCENES[number])) < 300  # 256 colours


def test_lengths(film, animation, tmp_path):
    for path, length in ((film, 6.0), (animation, 3.5)):
        with path.open("rb") as file:
            assert films.length_of(file) == pytest.approx(length, abs=0.11)
    SCENES[0].save(tmp_path / "single.gif")
    with (tmp_path / "single.gif").open("rb") as file:
        assert films.length_of(file) == 0.0
        with pytest.raises(FastDiffError, match="no frame at 3 seconds"):
            films.frame_content(file, 3, 10**9)


def test_a_film_without_a_length_is_measured_by_its_packets(film):
    import av

    stream = io.BytesIO()
    with av.open(str(film)) as source, av.open(stream, "w", format="matroska", options={"live": "1"}) as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    with av.open(io.BytesIO(stream.getvalue())) as there:
        assert not there.duration
    assert films.length_of(io.BytesIO(stream.getvalue())) == pytest.approx(6.0, abs=0.2)


def test_names():
    assert films.split_frame(films.frame_name("a#t=1.mp4", 2.0)) == ("a#t=1.mp4", 2.0)
    assert films.split_frame("b.mp4#t=x") == ("b.mp4#t=x", None)
    assert films.split_frame("B.MP4#t=12") == ("B.MP4", 12.0)


@pytest.mark.parametrize("content", [b"", b"garbage" * 99, b"\0\0\0\x18ftypmp42" + bytes(300)])
def test_what_is_no_film_is_told_in_a_line(content):
    pytest.importorskip("av")
    for ask in (films.length_of, lambda file: films.frame_content(file, 0, 10**9)):
        with pytest.raises(FastDiffError) as caught:
            ask(io.BytesIO(content))
        assert "\n" not in str(caught.value)


def test_a_playlist_leads_nowhere(tmp_path, film):
    pytest.importorskip("av")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://{film}\n#EXT-X-ENDLIST\n"
    concat = f"ffconcat version 1.0\nfile '{film}'\n"
    for text in (playlist, concat):
        with pytest.raises(FastDiffError):
            films.frame_content(io.BytesIO(text.encode()), 0, 10**9)


def test_broken_films_cost_nothing(film, rng):
    content = film.read_bytes()
    for _ in range(20):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 200).tolist():
            broken[place] = rng.integers(256)
        for seconds in (0, 3):
            try:
                films.frame_content(io.BytesIO(bytes(broken)), seconds, 10**9)
            except FastDiffError as error:
                assert "\n" not in str(error)  # noqa: PT017 - either of the two is fine


def test_a_frame_of_more_pixels_than_the_limit(film):
    with pytest.raises(Image.DecompressionBombError):
        frame(film, 0, pixel_limit=1000)


def test_without_pyav_the_package_is_named(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with film.open("rb") as file, pytest.raises(MissingDecoderError, match=r"pip install 'fastdiff_dask\[video\]'"):
        films.length_of(file)


def read(path, look=None, film=None, **options):
    status = (film or path).stat()
    listed = ListedFile(str(path).encode(), status.st_size, status.st_mtime_ns, look=look)
    with reader() as decoder:
        (answer,) = decoder.read(Request([listed], 32, 32, **options))
    return answer.records[0], answer.thumbnails


def test_a_decoder_process_reads_frames_and_lengths(film, animation):
    record, thumbnail = read(film.with_name("a.mp4#t=2"), film=film)
    assert (record.error, record.width, record.height, record.frames) == ("", 160, 120, 1)
    assert (record.format, record.extras) == ("FILM", "frame of a film")
    assert mse(np.frombuffer(thumbnail, np.uint8).reshape(32, 32, 3), small(SCENES[1])) < 60
    # the same picture at another time, and at another look, is not and is the same content
    assert read(film.with_name("a.mp4#t=3"), film=film)[0].content_hash != record.content_hash
    again, frames = read(film.with_name("a.mp4#t=2"), (64, 48), film)
    assert (again.content_hash, len(frames)) == (record.content_hash, 64 * 48 * 3)
    assert len(read(film, LENGTH)[1]) == 8
    assert read(animation.with_name("a.gif#t=1"), film=animation)[0].extras == "frame of a film"


def test_a_file_with_the_name_of_a_frame_is_a_file(film, tmp_path):
    (tmp_path / "a.mp4").write_bytes(film.read_bytes())
    SCENES[2].save(tmp_path / "a.mp4#t=2", "PNG")
    record, _ = read(tmp_path / "a.mp4#t=2")
    assert (record.format, record.extras) == ("PNG", "")


def test_a_film_that_changed_is_not_read(film, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(film.read_bytes())
    listed = ListedFile(str(tmp_path / "a.mp4#t=2").encode(), 3, 3)
    with reader() as decoder:
        (answer,) = decoder.read(Request([listed], 32, 32))
    assert "changed" in answer.records[0].error
    gone, _ = read(tmp_path / "b.mp4#t=2", film=path)
    assert gone.error
    assert gone.retry


def test_a_decoder_starts_without_pyav():
    code = "import fastdiff_dask.images.decoder_process, sys; print({'av', 'rawpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"

// The page of a report.
import { byId } from "./dom.js";
import { fileSource } from "./source_file.js";
import { start } from "./main.js";

const page = start(fileSource());
byId("first").append(byId("report"));
for (const name of ["edited", "issues"]) if (byId(name)) byId("scroller").append(byId(name));
page.grid.later();

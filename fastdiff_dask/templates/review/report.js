// The page of a report.
import { byId } from "./dom.js";
import { fileSource } from "./source_file.js";
import { start } from "./main.js";

const page = start(fileSource());
byId("first").append(byId("report"));
if (byId("edited")) byId("scroller").append(byId("edited"));
page.grid.later();

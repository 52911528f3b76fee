// The page of `review`.
import { server } from "./source_server.js";
import { start } from "./main.js";

start(server);

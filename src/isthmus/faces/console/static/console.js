// What every page runs. Each matter is a module of its own; a page works without any of them, only less lively.
import { acted } from "./acted.js";
import { charts } from "./charts.js";
import { commands } from "./commands.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { notices } from "./notices.js";

const everywhere = (root) => { charts(root); commands(root); };

keys();
notices();
live();
acted();
everywhere(document);
document.addEventListener("htmx:after:swap", () => everywhere(document));

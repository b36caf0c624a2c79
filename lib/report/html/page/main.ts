/** The script of the report: simulated packets, movable chain graphs, buttons that copy. */
import { addCopyButtons } from "./copy-button.ts";
import { startGraphs } from "./graph.ts";
import { startPacketForm } from "./packet-form.ts";

document.documentElement.classList.add("live");
addCopyButtons();
startGraphs();
startPacketForm();

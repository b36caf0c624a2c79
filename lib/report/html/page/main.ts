/** The report's script: packets tried in the page, chains to move about in, texts to copy. The rest needs none. */
import { copies } from "./copy-button.ts";
import { graphs } from "./graph.ts";
import { trial } from "./packet-form.ts";

document.documentElement.classList.add("live");
copies();
graphs();
trial();

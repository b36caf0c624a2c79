/** Colours and fonts of the picture of a packet path. */

/** Style sheet of the pictures, light and dark. Every rule applies to elements of class `way` only. */
export const PATH_STYLE = `
.way{--ink:#1c2128;--dim:#59636e;--faint:#d0d7de;--paper:#fff;--panel:#f6f8fa;--go:#1259b8;--bad:#b3261e;--good:#12702f;--warn:#8a5300;--intended:#6a3cb5;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){.way{--ink:#e6edf3;--dim:#9aa6b2;--faint:#3a434d;--paper:#0f1318;--panel:#171d24;--go:#79b1ff;--bad:#ff8a80;--good:#6fdd8b;--warn:#f0b95a;--intended:#c8aaff}}
@media print{.way{--ink:#000;--dim:#444;--faint:#bbb;--paper:#fff;--panel:#fff;--go:#1259b8;--bad:#b3261e;--good:#12702f;--warn:#8a5300;--intended:#6a3cb5}}
.way text{fill:var(--ink);font-size:11.5px}
.way .m{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.way .paper{fill:var(--paper)}
.way .box{fill:var(--panel);stroke:var(--faint);stroke-width:1.5}
.way .met .box{fill:var(--paper);stroke:var(--go)}
.way .name{font-weight:650;font-size:13px;letter-spacing:.03em}
.way .unmet text{fill:var(--dim)}
.way .unmet .box{stroke-dasharray:4 4}
.way .chip{fill:none;stroke:var(--faint)}
.way .chip.active{fill:var(--go);stroke:var(--go)}
.way .small{font-size:10.5px;fill:var(--dim)}
.way .chip-name.active{fill:var(--paper);font-weight:600}
.way .table{font-weight:650;fill:var(--dim);font-size:11px}
.way .quiet,.way .at{fill:var(--dim)}
.way .at{font-size:10.5px}
.way .change{fill:var(--go);font-weight:600}
.way .pass{fill:var(--good);font-weight:600}
.way .stop{fill:var(--bad);font-weight:600}
.way .intended,.way .unmet .intended,.way .intended-name,.way .unmet .intended-name{fill:var(--intended)}
.way .intended-name{font-weight:650;font-size:11px}
.way .intended-box{fill:none;stroke:var(--intended);stroke-dasharray:3 3}
.way .rail{fill:none;stroke:var(--faint);stroke-width:2}
.way .line{fill:none;stroke:var(--go);stroke-width:4;stroke-linejoin:round;stroke-linecap:round}
.way .intended-line{fill:none;stroke:var(--intended);stroke-width:2.5;stroke-dasharray:6 5;stroke-linejoin:round}
.way .node{fill:var(--paper);stroke:var(--faint);stroke-width:2}
.way .node.met{stroke:var(--go)}
.way .end{stroke:var(--paper);stroke-width:2}
.way .end.accept{fill:var(--good)}.way .end.drop,.way .end.reject{fill:var(--bad)}.way .end.undecided{fill:var(--warn)}.way .end.intended{fill:var(--intended)}
.way .sign{fill:none;stroke:var(--paper);stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.way .verdict{font-size:13.5px;font-weight:600}
.way .verdict.accept{fill:var(--good)}.way .verdict.drop,.way .verdict.reject{fill:var(--bad)}.way .verdict.undecided{fill:var(--warn)}
.way.bypass{--go:var(--bad)}
.way.bypass .verdict.accept,.way.bypass .pass{fill:var(--bad)}
.way.bypass .end.accept{fill:var(--bad)}
`.trim();

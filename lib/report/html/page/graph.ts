/** Moves, zooms and searches a chain graph with mouse, fingers or keys. */

/** The visible part of a picture, in its own units. */
interface View {
  x: number;
  y: number;
  w: number;
  h: number;
}

const viewBox = ({ x, y, w, h }: View): string => `${x} ${y} ${w} ${h}`;

/** Starts every chain graph of the page. */
export function startGraphs(): void {
  for (const box of document.querySelectorAll<HTMLElement>(".graph")) new GraphView(box).start();
}

class GraphView {
  private readonly canvas: HTMLElement;
  private readonly svg: SVGSVGElement;
  private readonly whole: View;
  private view: View;
  private held: { x: number; y: number; distance: number } | undefined;
  private readonly fingers = new Map<number, PointerEvent>();

  constructor(private readonly box: HTMLElement) {
    this.canvas = box.querySelector<HTMLElement>(".canvas")!;
    this.svg = this.canvas.querySelector("svg")!;
    const { x, y, width: w, height: h } = this.svg.viewBox.baseVal;
    this.whole = { x, y, w, h };
    this.view = { ...this.whole };
  }

  start(): void {
    this.canvas.classList.add("moved");
    this.svg.removeAttribute("width");
    this.svg.removeAttribute("height");
    this.box.querySelector<HTMLElement>(".graph-tools")!.hidden = false;
    this.home();
    const act: Record<string, () => void> = {
      in: () => this.zoom(1 / 1.4),
      out: () => this.zoom(1.4),
      all: () => this.show(this.whole),
    };
    for (const button of this.box.querySelectorAll<HTMLElement>("button[data-do]"))
      button.addEventListener("click", () => act[button.dataset.do!]?.());
    const find = this.box.querySelector<HTMLInputElement>("input")!;
    find.addEventListener("input", () => this.find(find.value));
    find.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1);
    });
    // A printed picture cannot be moved, so it shows everything.
    addEventListener("beforeprint", () => this.svg.setAttribute("viewBox", viewBox(this.whole)));
    addEventListener("afterprint", () => this.show(this.view));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    // The wheel alone scrolls the page.
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, this.point(event));
      },
      { passive: false },
    );
    this.canvas.addEventListener("pointerdown", (event) => {
      this.fingers.set(event.pointerId, event);
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"] as const)
      this.canvas.addEventListener(end, (event) => {
        this.fingers.delete(event.pointerId);
        this.held = undefined;
      });
  }

  /** Shows PREROUTING, at a readable size. */
  private home(): void {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const first = this.svg.querySelector<SVGGraphicsElement>(".hookbox");
    if (w === 0 || this.whole.w <= w || first === null) {
      this.show(this.whole);
      return;
    }
    const wide = Math.min(this.whole.w, Math.max(w, 700) * 1.2);
    const { x, width } = first.getBoundingClientRect();
    const middle = this.point({ clientX: x + width / 2, clientY: 0 } as MouseEvent).x;
    this.show({ x: middle - wide / 2, y: this.whole.y, w: wide, h: (wide * h) / w });
  }

  private show(view: View): void {
    this.view = view;
    this.svg.setAttribute("viewBox", viewBox(view));
  }

  /** @param at the point of the picture that stays where it is; the middle unless given */
  private zoom(factor: number, at?: { x: number; y: number }): void {
    const { x, y, w, h } = this.view;
    const wide = Math.min(Math.max(w * factor, 120), this.whole.w * 2);
    const by = wide / w;
    const middle = at ?? { x: x + w / 2, y: y + h / 2 };
    this.show({ x: middle.x - (middle.x - x) * by, y: middle.y - (middle.y - y) * by, w: wide, h: h * by });
  }

  private move(dx: number, dy: number): void {
    const { x, y, w, h } = this.view;
    this.show({ x: x + dx, y: y + dy, w, h });
  }

  /** Converts a position in the window to units of the picture. */
  private point({ clientX, clientY }: MouseEvent): { x: number; y: number } {
    const position = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM()!.inverse());
    return { x: position.x, y: position.y };
  }

  private drag(event: PointerEvent): void {
    if (!this.fingers.has(event.pointerId)) return;
    this.fingers.set(event.pointerId, event);
    const all = [...this.fingers.values()];
    const x = all.reduce((sum, e) => sum + e.clientX, 0) / all.length;
    const y = all.reduce((sum, e) => sum + e.clientY, 0) / all.length;
    const [a, b] = all;
    const distance = b === undefined ? 0 : Math.hypot(a!.clientX - b.clientX, a!.clientY - b.clientY);
    const before = this.held;
    this.held = { x, y, distance };
    if (before === undefined || (before.distance === 0) !== (distance === 0)) return;
    const scale = this.svg.getScreenCTM()!.a;
    this.move((before.x - x) / scale, (before.y - y) / scale);
    if (distance > 0) this.zoom(before.distance / distance);
  }

  private key(event: KeyboardEvent): void {
    const step = this.view.w / 12;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.move(-step, 0),
      ArrowRight: () => this.move(step, 0),
      ArrowUp: () => this.move(0, -step),
      ArrowDown: () => this.move(0, step),
      "+": () => this.zoom(1 / 1.4),
      "=": () => this.zoom(1 / 1.4),
      "-": () => this.zoom(1.4),
      "0": () => this.show(this.whole),
    };
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  private found: SVGGElement[] = [];
  private at = 0;

  /** Marks the chains whose name or rules contain a text, and shows the first one. */
  private find(text: string): void {
    const word = text.trim().toLowerCase();
    const chains = [...this.svg.querySelectorAll<SVGGElement>(".chain")];
    const name = (chain: SVGGElement): string => chain.dataset.chain?.toLowerCase() ?? "";
    this.found =
      word === ""
        ? []
        : chains.filter((c) => name(c).includes(word) || c.textContent?.toLowerCase().includes(word));
    // Chains with that name come before chains that mention it.
    this.found.sort((a, b) => Number(name(b).includes(word)) - Number(name(a).includes(word)));
    for (const chain of chains) chain.classList.toggle("hit-chain", this.found.includes(chain));
    this.svg.classList.toggle("searching", word !== "");
    this.at = 0;
    this.showCount(word);
    if (this.found.length > 0) this.showResult();
  }

  private showCount(word: string): void {
    const n = this.found.length;
    const text = word === "" ? "" : n === 0 ? "nothing found" : `${this.at + 1} of ${n}`;
    this.box.querySelector(".found")!.textContent = text;
  }

  private next(by: number): void {
    const n = this.found.length;
    if (n === 0) return;
    this.at = (this.at + by + n) % n;
    this.showCount("next");
    this.showResult();
  }

  /** Moves the current result to the middle. */
  private showResult(): void {
    const box = this.found[this.at]!.getBoundingClientRect();
    const middle = this.point({
      clientX: box.x + box.width / 2,
      clientY: box.y + box.height / 2,
    } as MouseEvent);
    const { clientWidth, clientHeight } = this.canvas;
    const w = Math.min(this.whole.w, clientWidth * 1.1);
    const h = (w * clientHeight) / Math.max(1, clientWidth);
    this.show({ x: middle.x - w / 2, y: middle.y - h / 2, w, h });
  }
}

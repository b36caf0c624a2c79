/** Moves a dot along the path of a packet, unless the reader prefers reduced motion. */

/** Units of the picture per second. */
const SPEED = 900;

/** Plays the paths of the picture in an element, one after the other. */
export function play(within: HTMLElement): void {
  const svg = within.querySelector<SVGSVGElement>("svg");
  if (svg === null || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const old of svg.querySelectorAll(".dot")) old.remove();
  const maps = [...svg.querySelectorAll<SVGGElement>(".map")];
  for (const old of svg.querySelectorAll(".reached")) old.classList.remove("reached");
  svg.classList.add("playing");
  const next = (): void => {
    const map = maps.shift();
    if (map === undefined || !svg.isConnected) svg.classList.remove("playing");
    else run(svg, map, next);
  };
  next();
}

function run(svg: SVGSVGElement, map: SVGGElement, done: () => void): void {
  const line = map.querySelector<SVGPathElement>(".line.course");
  if (line === null) {
    done();
    return;
  }
  const dot = document.createElementNS(svg.namespaceURI, "circle") as SVGCircleElement;
  dot.setAttribute("class", "dot");
  dot.setAttribute("r", "8");
  map.append(dot);
  const stations = [...map.querySelectorAll<SVGGElement>(".station.met")];
  const length = line.getTotalLength();
  let begin: number | undefined;
  const step = (now: number): void => {
    begin ??= now;
    const gone = Math.min(length, ((now - begin) / 1000) * SPEED);
    const { x, y } = line.getPointAtLength(gone);
    dot.setAttribute("cx", String(x));
    dot.setAttribute("cy", String(y));
    for (const station of stations) {
      const box = station.querySelector<SVGRectElement>(".box")!.getBBox();
      if (x >= box.x - 1 && x <= box.x + box.width + 1 && y >= box.y - 1 && y <= box.y + box.height + 1)
        station.classList.add("reached");
    }
    if (gone < length && dot.isConnected) requestAnimationFrame(step);
    else {
      for (const station of stations) station.classList.add("reached");
      setTimeout(() => dot.remove(), 600);
      done();
    }
  };
  requestAnimationFrame(step);
}

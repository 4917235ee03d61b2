// A click on the map of the photos, or a box drawn on it, tells the explorer which points were meant: their numbers go
// into the text field .fw-meant beside the map. Runs in the output cell that the widget holds for it.
(function listen(tries) {
  const root = element.closest(".fw");
  if (!root) {
    if (tries) setTimeout(() => listen(tries - 1), 100);
    return;
  }
  if (root.dataset.map) return;
  root.dataset.map = "on";

  const NEAR = 9; // px of the map: how far from a point a click may be
  const MOVED = 4; // a pointer that moved less has clicked
  let drawn = null; // {svg, from, box} while a box is drawn
  let times = 0; // the same points twice are told twice

  const place = (svg, event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const at = (point) => ({ x: Number(point.dataset.x), y: Number(point.dataset.y), i: point.dataset.i });
  const points = (svg) => [...svg.querySelectorAll("path")].map(at);

  const tell = (meant) => {
    const field = root.querySelector(".fw-meant input");
    if (!field || !meant.length) return;
    times += 1;
    field.value = `${times}:${meant.map((point) => point.i).join(",")}`;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  };
  const nearest = (svg, to) => {
    const away = (point) => Math.hypot(point.x - to.x, point.y - to.y);
    const sorted = points(svg).sort((a, b) => away(a) - away(b));
    return sorted.slice(0, 1).filter((point) => away(point) <= NEAR);
  };

  root.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest("svg.points");
    if (!svg || event.button) return;
    event.preventDefault();
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    box.setAttribute("class", "box");
    svg.append(box);
    svg.setPointerCapture(event.pointerId);
    drawn = { svg, box, from: place(svg, event) };
  });
  const edges = (to) => ({
    x: Math.min(drawn.from.x, to.x), y: Math.min(drawn.from.y, to.y),
    width: Math.abs(to.x - drawn.from.x), height: Math.abs(to.y - drawn.from.y),
  });
  root.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    for (const [name, value] of Object.entries(edges(place(drawn.svg, event)))) drawn.box.setAttribute(name, value);
  });
  root.addEventListener("pointerup", (event) => {
    if (!drawn) return;
    const { svg, box } = drawn;
    const to = place(svg, event);
    const { x, y, width, height } = edges(to);
    drawn = null;
    box.remove();
    const inside = (point) => point.x >= x && point.x <= x + width && point.y >= y && point.y <= y + height;
    tell(Math.max(width, height) < MOVED ? nearest(svg, to) : points(svg).filter(inside));
  });
  root.addEventListener("pointercancel", () => {
    if (drawn) drawn.box.remove();
    drawn = null;
  });
})(100);

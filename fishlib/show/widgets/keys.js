// Keys press a widget's buttons, wherever the focus is in it: a button with the class fw-key-g is pressed by g.
// Runs in the output cell that the widget holds for it; `element` is that cell.
(function listen(tries) {
  const root = element.closest(".fw");
  if (!root) {
    if (tries) setTimeout(() => listen(tries - 1), 100);
    return;
  }
  if (root.dataset.keys) return;
  root.dataset.keys = "on";
  root.tabIndex = 0; // a click on a picture brings the focus here
  root.setAttribute("data-lm-suppress-shortcuts", ""); // else b would insert a cell

  const isText = (target) => target.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");
  const named = (event) => {
    if (event.key.length > 1 && event.key !== "Process") return event.key; // ArrowLeft
    const letter = /^Key(.)$/.exec(event.code); // of a key that an input method holds back
    return (event.key === "Process" ? (letter ? letter[1] : "") : event.key).normalize("NFKC").toLowerCase();
  };
  const isShown = (button) => button.offsetParent !== null;

  const step = (photo, by) => {
    const photos = [...root.querySelectorAll(".fw-photo")].filter(isShown);
    const next = photos[photos.indexOf(photo) + by];
    if (next) next.focus();
    return Boolean(next);
  };
  const columns = () => {
    const photos = [...root.querySelectorAll(".fw-photo")].filter(isShown);
    const top = (photo) => photo.getBoundingClientRect().top;
    return photos.filter((photo) => top(photo) === top(photos[0])).length;
  };
  const turn = (by) => {
    // beyond the first or the last photo lies another page
    const button = by && root.querySelector(by > 0 ? ".fw-key-PageDown" : ".fw-key-PageUp");
    if (!button || !isShown(button)) return false;
    button.click();
    const photos = [...root.querySelectorAll(".fw-photo")].filter(isShown);
    photos.at(by > 0 ? 0 : -1).focus();
    return true;
  };
  const choose = (place) => {
    if (place) place.querySelector(".fw-square").click();
    return Boolean(place);
  };
  const walk = (event, key) => {
    const place = event.target.closest(".fw-place"); // a photo and its square
    if (key === "x") return choose(place);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[key];
    if (!by) return false;
    const photo = place && place.querySelector(".fw-photo");
    return step(photo, photo ? by : 1) || turn(photo && by);
  };

  root.addEventListener(
    "keydown",
    (event) => {
      // what is typed after Enter is an answer; seen on its way down, for a text field keeps its keys to itself
      if (event.key === "Enter" && !event.isComposing && isText(event.target)) root.focus({ preventScroll: true });
    },
    true,
  );
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = named(event);
    if (isText(event.target)) return;
    const isArrow = key.startsWith("Arrow");
    if (event.repeat && !isArrow) return; // one key, one answer
    const button = /^\w+$/.test(key) && [...root.querySelectorAll(`.fw-key-${key}`)].find(isShown);
    if (button) button.click();
    else if (!walk(event, key)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  root.addEventListener("click", (event) => {
    if (isText(event.target)) return;
    const focus = (what) => what.focus({ preventScroll: true });
    // a photo that opens, and the way back, are hidden in a moment; keys go on in the widget at once
    if (event.target.closest(".fw-photo, .fw-back")) focus(root);
    else setTimeout(() => root.contains(document.activeElement) || focus(root), 300);
  });
})(100);

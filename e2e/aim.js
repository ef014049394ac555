/* Where to click on an element, which is scrolled into view, and a watch on what the next
   click arrives at: window.pressed says so. Events that arrive elsewhere go no further. */
(() => {
  const element = %s, number = %d;
  window.pressed?.over();
  if (!element?.checkVisibility()) return null;
  element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
  const box = element.getClientRects()[0];
  if (!box) return null;
  const guard = new AbortController(), watch = new AbortController();
  const pressed = window.pressed = { number, hit: false, leaves: false, over: () => { guard.abort(); watch.abort(); } };
  for (const type of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"]) {
    addEventListener(type, (e) => {
      if (!e.composedPath().some((at) => at === element || at.control === element)) {
        e.preventDefault();
        e.stopImmediatePropagation();
      } else if (type === "click") {
        pressed.hit = true;
        guard.abort();
      }
    }, { capture: true, signal: guard.signal });
  }
  // After everything on the page has had its say: what the browser does by itself now.
  addEventListener("click", (e) => {
    const link = e.target.closest?.("a[href]");
    if (!link || e.defaultPrevented || link.hasAttribute("download") || (link.target || "_self") !== "_self") return;
    const [to, part] = link.href.split("#");
    if (part === undefined || to !== location.href.split("#")[0]) pressed.leaves = true;
  }, { signal: watch.signal });
  addEventListener("submit", (e) => {
    if (!e.defaultPrevented && (e.submitter?.formMethod || e.target.method) !== "dialog") pressed.leaves = true;
  }, { signal: watch.signal });
  return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
})()

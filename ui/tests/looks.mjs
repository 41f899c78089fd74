// What is wrong with the screen that is shown. Runs inside the page; what it returns are sentences.

export function looksWrong() {
  const wrong = [];
  const nameOf = (element) =>
    element.getAttribute("aria-label") ?? element.textContent.trim().slice(0, 40) ?? element.tagName;
  const root = document.scrollingElement;
  if (root.scrollWidth > window.innerWidth) wrong.push(`scrolls sideways: ${root.scrollWidth} px`);
  for (const element of document.querySelectorAll("body *")) {
    const style = getComputedStyle(element);
    const scrolls = style.overflowX === "auto" || style.overflowX === "scroll" || style.overflowY === "auto";
    if (scrolls && element.scrollWidth > element.clientWidth + 1) {
      wrong.push(`${element.className} scrolls sideways: ${element.scrollWidth} in ${element.clientWidth} px`);
    }
  }

  // What is open may lie over controls; it is closed by a click beside it.
  const open = document.querySelector("[role=menu], [data-details], .toast");

  // Behind a dialog nothing can be aimed at.
  const controls = [...document.querySelectorAll("button, input, select")].filter(
    (control) => control.closest("[inert]") === null && control.checkVisibility({ opacityProperty: true }),
  );
  for (const control of controls) {
    const box = control.getBoundingClientRect();
    if (box.left < 0 || box.right > window.innerWidth + 0.5) wrong.push(`${nameOf(control)} sticks out of the window`);
    const low = control.matches("[aria-haspopup], [role=switch]") ? 24 : 44;
    if (control.matches(".pill")) {
      // Drawn lower than its target is: what is hit above and below it counts.
      const x = box.left + box.width / 2;
      for (const y of [box.top - 5, box.bottom + 5]) {
        const hit = document.elementFromPoint(x, y);
        if (hit !== control && open === null) wrong.push(`${nameOf(control)} is too low a target`);
      }
    } else if (box.width < low || box.height < 43.5) {
      wrong.push(`${nameOf(control)} is too small: ${Math.round(box.width)} x ${Math.round(box.height)}`);
    }
  }

  // Nothing that floats in a call may lie over a control.
  for (const control of controls.filter((one) => one.closest("[data-screen=call]") !== null)) {
    const box = control.getBoundingClientRect();
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (open === null && top !== null && !control.contains(top)) wrong.push(`${nameOf(control)} is covered`);
  }

  if (document.querySelectorAll("h1").length !== 1) wrong.push("has no single h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("has no single main");
  if (!document.fonts.check('15px "Inter"')) wrong.push("Inter is not loaded");
  return wrong;
}

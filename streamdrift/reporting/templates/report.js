"use strict";
const root = document.documentElement, theme = document.getElementById("theme");
const themes = ["system", "light", "dark"];
theme.hidden = false;
theme.addEventListener("click", () => {
  const label = theme.querySelector("span");
  const next = themes[(themes.indexOf(label.textContent) + 1) % themes.length];
  label.textContent = next;
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
});

addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll(".more")) each.open = true;
});

const first = Number(document.body.dataset.first), last = Number(document.body.dataset.last);
const tip = document.getElementById("tip");

// What a path shows, read off it: places from 0 to 1000 across, heights from 0 to 1.
function points(figure) {
  const numbers = figure.querySelector(".line").getAttribute("d").match(/[\d.]+/g) || [];
  const found = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) found.push([+numbers[i], 1 - numbers[i + 1] / 200]);
  return found;
}

function words(share) {
  if (share >= 0.999) return "at its threshold";
  if (share < 0.001) return "under 0.1% of its threshold";
  return `${Number((100 * share).toPrecision(2))}% of its threshold`;
}

for (const figure of document.querySelectorAll(".course")) {
  const plot = figure.querySelector(".plot");
  const low = Number(figure.dataset.low), decades = Number(figure.dataset.decades);
  let known = null, cursor = null, at = 0;

  function show(place) {
    known ??= points(figure);
    if (!known.length) return;
    at = Math.min(Math.max(place, 0), 1000);
    let near = known[0];
    for (const each of known) if (Math.abs(each[0] - at) <= Math.abs(near[0] - at)) near = each;
    if (!cursor) {
      cursor = document.createElement("span");
      cursor.className = "cursor";
      plot.append(cursor);
    }
    cursor.style.left = `${at / 10}%`;
    const time = new Date(first + (last - first) * at / 1000).toISOString().slice(0, 19).replace("T", " ");
    const missing = Math.abs(near[0] - at) > 15;
    tip.textContent = `${time} UTC` + (missing ? "" : `: ${words(10 ** (low + decades * near[1]))}`);
    tip.hidden = false;
    const box = plot.getBoundingClientRect(), left = box.left + box.width * at / 1000;
    tip.style.left = `${Math.max(4, Math.min(left + 8, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, box.top - 30)}px`;
  }

  function hide() {
    cursor?.remove();
    cursor = null;
    tip.hidden = true;
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    show(1000 * (event.clientX - box.left) / box.width);
  });
  plot.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -10, ArrowRight: 10, Home: -1000, End: 1000 };
    if (event.target !== figure || !(event.key in steps)) return;
    event.preventDefault();
    show(at + steps[event.key]);
  });
}

// Tells what is under the pointer, in all panels at the same time. The curves are read back from what is drawn.
(() => {
  "use strict";
  const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const clock = (s) => {
    const c = Math.round(s * 100), pad = (n) => String(n).padStart(2, "0");
    const h = Math.floor(c / 360000), m = Math.floor(c / 6000) % 60, rest = `${pad(Math.floor(c / 100) % 60)}.${pad(c % 100)}`;
    return h ? `${h}:${pad(m)}:${rest}` : `${m}:${rest}`;
  };
  // The place in a sorted list, `size` numbers an entry, of the last entry that starts at or before x.
  const before = (list, size, x) => {
    let low = 0, high = list.length / size;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (list[middle * size] <= x) low = middle; else high = middle;
    }
    return low * size;
  };
  const nearest = (line, x) => {
    if (line.length < 2) return null;
    const at = before(line, 2, x), next = at + 2;
    return next < line.length && line[next] - x < x - line[at] ? line[next + 1] : line[at + 1];
  };
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;
  const main = document.querySelector("main");

  for (const chart of document.querySelectorAll(".chart")) {
    const { end, low, top } = chart.dataset;
    const box = chart.querySelector(".chunks");
    const line = (name) => numbers(chart.querySelector(`polyline.${name}`)?.getAttribute("points") || "");
    const fidelity = line("fidelity"), vmaf = line("vmaf");
    // M x 100 V y H x2 V 100: five numbers a bar.
    const bars = numbers(chart.querySelector(".bars")?.getAttribute("d") || "");
    const score = (y) => (100 - (y / 100) * (100 - low)).toFixed(1);
    for (const part of box.querySelectorAll(".chunk, .step")) {
      part.dataset.told = part.title;
      part.removeAttribute("title");
    }
    const hide = () => {
      tip.hidden = true;
      main.classList.remove("pointed");
    };
    const show = (event) => {
      const area = box.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - area.left) / area.width)), x = share * 1000;
      main.style.setProperty("--at", `${share * 100}%`);
      main.classList.add("pointed");
      const parts = [clock(share * end)];
      const f = nearest(fidelity, x), v = nearest(vmaf, x);
      if (f !== null) parts.push(`fidelity ${score(f)}`);
      if (v !== null) parts.push(`VMAF ${score(v)}`);
      const at = before(bars, 5, x);
      if (at < bars.length && x <= bars[at + 3]) {
        parts.push(`${Math.round((1 - bars[at + 2] / 100) * top).toLocaleString("en")} kb/s`);
      }
      const told = event.target.closest(".chunk, .step")?.dataset.told || "";
      const first = document.createElement("b"), rest = document.createElement("span");
      first.textContent = parts.join("  ·  ");
      rest.textContent = told;
      tip.replaceChildren(first, rest);
      tip.hidden = false;
      const { width, height } = tip.getBoundingClientRect();
      const right = event.clientX + 16 + width < innerWidth;
      tip.style.left = `${Math.max(4, right ? event.clientX + 16 : event.clientX - width - 16)}px`;
      tip.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - height - 8))}px`;
    };
    box.addEventListener("pointermove", show);
    box.addEventListener("pointerdown", show);
    box.addEventListener("pointerleave", hide);
  }
})();

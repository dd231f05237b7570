// The page is complete without this: it adds the theme button, one cursor for all charts, and the rollouts' filters.
"use strict";
(() => {
  const root = document.documentElement;

  // Theme: as the system says, or as chosen here. A page opened from a file may be refused storage.
  const KEY = "assay-report-theme";
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* shown, not kept */ } };
  const wear = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`;
  };
  wear(remembered());
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[root.dataset.theme ?? "auto"];
    remember(next);
    wear(next);
  });

  // One cursor for all charts over the same steps: {chart: [{label, x: [...], text: [...]}]}.
  const values = JSON.parse(document.getElementById("values").textContent);
  const charts = [...document.querySelectorAll("figure[data-axis]")].map((figure) => {
    const readout = figure.querySelector(".readout");
    return {
      figure,
      readout,
      axis: figure.dataset.axis,
      resting: [...readout.childNodes],
      drawings: [...figure.querySelectorAll("svg[data-chart]")],
      series: values[figure.dataset.chart],
    };
  });
  const at = (series, step) => {
    let low = 0, high = series.x.length; // the last point at or before the step
    while (low < high) {
      const middle = (low + high) >> 1;
      if (series.x[middle] <= step) low = middle + 1; else high = middle;
    }
    return low - 1;
  };
  const point = (axis, step) => {
    for (const chart of charts) {
      if (chart.axis !== axis) continue;
      for (const drawing of chart.drawings) {
        const { first, last, left, right } = drawing.dataset;
        const share = (step - first) / (last - first);
        const cursor = drawing.querySelector(".cursor");
        cursor.setAttribute("visibility", step === null ? "hidden" : "visible");
        if (step !== null) cursor.setAttribute("transform", `translate(${+left + share * (right - left)} 0)`);
      }
      if (step === null) { chart.readout.replaceChildren(...chart.resting); continue; }
      const pieces = [`step ${step}`];
      for (const series of chart.series) {
        const index = at(series, step);
        if (index < 0) continue;
        const value = document.createElement("b");
        value.textContent = series.text[index];
        const since = series.x[index] === step ? "" : ` at ${series.x[index]}`;
        pieces.push(series.label ? ` · ${series.label} ` : " ", value, since);
      }
      chart.readout.replaceChildren(...pieces);
    }
  };
  for (const chart of charts) {
    const steps = [...new Set(chart.series.flatMap((series) => series.x))].sort((a, b) => a - b);
    let index = steps.length - 1;
    for (const drawing of chart.drawings) {
      drawing.addEventListener("pointermove", (event) => {
        const { first, last, left, right } = drawing.dataset;
        const box = drawing.getBoundingClientRect();
        const x = (event.clientX - box.left) * drawing.viewBox.baseVal.width / box.width;
        const step = +first + (x - left) / (right - left) * (last - first);
        index = steps.reduce((best, value, here) =>
          Math.abs(value - step) < Math.abs(steps[best] - step) ? here : best, 0);
        point(chart.axis, steps[index]);
      });
    }
    chart.figure.addEventListener("pointerleave", () => point(chart.axis, null));
    chart.figure.tabIndex = 0;
    chart.figure.addEventListener("blur", () => point(chart.axis, null));
    chart.figure.addEventListener("keydown", (event) => {
      const stride = event.shiftKey ? 10 : 1;
      const moves = { ArrowLeft: index - stride, ArrowRight: index + stride, Home: 0, End: steps.length - 1 };
      if (event.key === "Escape") { point(chart.axis, null); return; }
      if (!(event.key in moves)) return;
      event.preventDefault();
      index = Math.max(0, Math.min(steps.length - 1, moves[event.key]));
      point(chart.axis, steps[index]);
    });
  }

  // Rollouts by split, step and pick.
  const filters = document.getElementById("filters");
  if (filters) {
    const count = document.getElementById("shown");
    const selects = [...filters.querySelectorAll("select")];
    const rows = [...document.querySelectorAll(".rollouts tbody tr[data-pick]")];
    const sift = () => {
      let shown = 0;
      for (const row of rows) {
        const of = { ...row.parentElement.dataset, ...row.dataset };
        row.hidden = selects.some((select) => select.value && of[select.name] !== select.value);
        shown += !row.hidden;
      }
      for (const body of document.querySelectorAll(".rollouts tbody"))
        body.hidden = !body.querySelector("tr[data-pick]:not([hidden])");
      count.textContent = `${shown} of ${rows.length} shown`;
    };
    filters.hidden = false;
    filters.addEventListener("change", sift);
    sift();
  }
})();

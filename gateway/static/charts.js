/* Draws each <figure data-chart="id of its JSON"> with Chart.js, in the colours of the theme in force. */
"use strict";

(() => {
  const NANO = 1e9; // money arrives in nano-units; only the drawing uses a float
  const lang = document.documentElement.lang || "en";
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const charts = new Map();

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function writer(data) {
    const options = data.currency
      ? { style: "currency", currency: data.currency, maximumSignificantDigits: 6 }
      : { maximumFractionDigits: 2 };
    const format = new Intl.NumberFormat(lang, options);
    return (value) => format.format(value);
  }

  // A series differs by colour and by hatching or point, so that no reading rests on colour alone.
  const POINTS = ["circle", "rect", "triangle", "rectRot", "cross", "star"];

  function hatch(base, index) {
    if (index === 0) return base;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.fillStyle = base;
    pen.fillRect(0, 0, 8, 8);
    pen.strokeStyle = color("--color-base-100");
    pen.globalAlpha = 0.45;
    pen.lineWidth = 1.5;
    pen.beginPath();
    if (index % 3 === 1) pen.moveTo(0, 8), pen.lineTo(8, 0);
    else if (index % 3 === 2) pen.arc(4, 4, 1, 0, 7);
    else pen.moveTo(0, 0), pen.lineTo(8, 8);
    pen.stroke();
    return pen.createPattern(tile, "repeat");
  }

  function dataset(series, index, data) {
    const base = color(`--series-${(index % 6) + 1}`);
    return {
      label: series.name,
      data: series.values.map((value) => (data.currency ? value / NANO : value)),
      backgroundColor: data.kind === "line" ? base : hatch(base, index),
      borderColor: base,
      borderWidth: data.kind === "line" ? 2 : 0,
      borderDash: data.kind === "line" && index ? [6, 2 + index] : undefined,
      pointStyle: POINTS[index % 6],
      pointRadius: series.values.length > 40 ? 0 : 3,
      borderRadius: 2,
      maxBarThickness: 28,
      tension: 0,
    };
  }

  function options(data, write) {
    const axis = { ticks: { color: color("--muted"), maxRotation: 0, autoSkipPadding: 16 }, border: { display: false } };
    return {
      maintainAspectRatio: false,
      animation: still ? false : { duration: 120 },
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { ...axis, stacked: data.stacked, grid: { display: false } },
        y: {
          ...axis,
          stacked: data.stacked,
          beginAtZero: true,
          ticks: { ...axis.ticks, maxTicksLimit: 5, precision: data.currency ? undefined : 0, callback: write },
          grid: { color: color("--color-base-300"), drawTicks: false },
        },
      },
      plugins: {
        legend: {
          display: data.series.length > 1,
          position: "bottom",
          align: "start",
          labels: {
            color: color("--color-base-content"),
            boxWidth: 12,
            boxHeight: data.kind === "line" ? 7 : 12,
            padding: 14,
            usePointStyle: data.kind === "line",
          },
        },
        tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${write(item.raw)}` } },
      },
    };
  }

  function draw(figure) {
    const data = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
    charts.get(figure)?.destroy();
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    charts.set(
      figure,
      new Chart(figure.querySelector("canvas"), {
        type: data.kind || "bar",
        data: { labels: data.labels, datasets: data.series.map((series, i) => dataset(series, i, data)) },
        options: options(data, writer(data)),
      }),
    );
  }

  const drawAll = () => document.querySelectorAll("[data-chart]").forEach(draw);
  document.addEventListener("themechange", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();

"use strict";

// Charts are drawn from the tables below them: the first column names, each column of numbers is a series.
function drawCharts(within = document) {
  for (const place of within.querySelectorAll("[data-chart]")) {
    const table = document.getElementById(place.dataset.table);
    if (table) draw(place, place.dataset.chart, read(table));
  }
}

function read(table) {
  const rows = [...table.tBodies[0].rows];
  const numbered = [...rows[0].cells].map((cell, at) => ("value" in cell.dataset ? at : -1)).filter((at) => at >= 0);
  return {
    names: rows.map((row) => row.cells[0].textContent.trim()),
    links: rows.map((row) => row.cells[0].querySelector("a")?.href),
    series: numbered.map((at) => ({
      name: table.tHead.rows[0].cells[at].textContent.trim(),
      shown: rows.map((row) => row.cells[at].textContent.trim()),
      data: rows.map((row) => Number(row.cells[at].dataset.value)),
    })),
  };
}

function draw(place, kind, { names, links, series }) {
  const style = getComputedStyle(place);
  // As computed: a canvas knows no variables.
  const ink = style.color, faint = getComputedStyle(place.closest(".card")).borderTopColor;
  const chart = echarts.getInstanceByDom(place) ?? echarts.init(place);
  const categories = { type: "category", data: names, axisLabel: { color: ink }, axisLine: { lineStyle: { color: faint } } };
  const values = { type: "value", minInterval: 1, axisLabel: { color: ink, hideOverlap: true, formatter: short }, splitLine: { lineStyle: { color: faint } } };
  const lying = kind === "bar";
  chart.setOption({
    animation: false,
    color: ["#206bc4", "#d6336c", "#2fb344"],
    textStyle: { fontFamily: style.fontFamily, color: ink },
    grid: { left: 8, right: 16, top: series.length > 1 ? 32 : 8, bottom: 8, containLabel: true },
    legend: series.length > 1 ? { top: 0, textStyle: { color: ink } } : undefined,
    // As text on the canvas: a box of HTML would bring styles of its own, which the policy forbids.
    tooltip: { trigger: "axis", renderMode: "richText", confine: true, valueFormatter: (value) => value.toLocaleString("en-US") },
    xAxis: lying ? values : categories,
    yAxis: lying ? { ...categories, inverse: true } : values,
    series: series.map((one) => ({ name: one.name, type: kind, data: one.data, symbolSize: 6, barMaxWidth: 24 })),
  }, true);
  chart.off("click");
  if (lying) chart.on("click", ({ dataIndex }) => { if (links[dataIndex]) location.assign(links[dataIndex]); });
}

function short(value) {
  return new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

addEventListener("resize", () => {
  for (const place of document.querySelectorAll("[data-chart]")) echarts.getInstanceByDom(place)?.resize();
});
document.addEventListener("recoup:theme", () => drawCharts());

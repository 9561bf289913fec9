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
    names: rows.map((row) => row.cells[0].dataset.short ?? row.cells[0].textContent.trim()),
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
  const categories = { type: "category", data: names, axisTick: { show: false }, axisLabel: { color: ink }, axisLine: { lineStyle: { color: faint } } };
  const values = { type: "value", minInterval: 1, axisLabel: { color: ink, hideOverlap: true, formatter: short }, splitLine: { lineStyle: { color: faint } } };
  const lying = kind === "bar";
  const dark = document.documentElement.dataset.bsTheme === "dark";
  // Nothing to draw is said in words: an empty grid looks like one that did not load.
  const nothing = series.every((one) => one.data.every((value) => !value));
  chart.setOption({
    animation: false,
    color: dark ? ["#5c9ded", "#f06595", "#51cf66"] : ["#206bc4", "#c2255c", "#2b8a3e"],
    title: nothing ? { text: "Nothing yet", left: "center", top: "middle", textStyle: { color: ink, fontSize: 14, fontWeight: "normal" } } : undefined,
    textStyle: { fontFamily: style.fontFamily, color: ink },
    grid: { left: 8, right: 24, top: series.length > 1 ? 32 : 8, bottom: 8, containLabel: true },
    legend: series.length > 1 ? { top: 0, textStyle: { color: ink } } : undefined,
    // As text on the canvas: a box of HTML would bring styles of its own, which the policy forbids.
    tooltip: { trigger: "axis", renderMode: "richText", confine: true, valueFormatter: (value) => value.toLocaleString("en-US") },
    xAxis: lying ? values : { ...categories, boundaryGap: false },
    yAxis: lying ? { ...categories, inverse: true } : values,
    series: nothing ? [] : series.map((one, at) => ({
      name: one.name, type: kind, data: one.data, barMaxWidth: 20, itemStyle: lying ? { borderRadius: [0, 3, 3, 0] } : {},
      symbol: "circle", symbolSize: 5, showSymbol: one.data.length < 16, lineStyle: { width: at ? 2 : 3, type: at === 2 ? "dashed" : "solid" }, areaStyle: lying || at ? undefined : { opacity: 0.12 },
    })),
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

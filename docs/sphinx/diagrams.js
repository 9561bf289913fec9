const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const theme = document.body.dataset.theme;
mermaid.initialize({
  startOnLoad: false,
  securityLevel: "strict",
  theme: theme === "dark" || (theme !== "light" && dark) ? "dark" : "neutral",
});
mermaid.run({ querySelector: "pre.mermaid" });

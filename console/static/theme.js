// In the head, before anything is painted: a page must not flash in the other theme.
(() => {
  const chosen = localStorage.getItem("recoup-theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = localStorage.getItem("recoup-theme") ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.bsTheme = theme;
  };
  apply();
  if (!chosen) dark.addEventListener("change", apply);
})();

// Figures follow the theme: plotly's are drawn anew in its colours.
(() => {
  const dark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };
  const colours = () => (dark() ? { ink: "#cfd0d0", rule: "#3b3f46" } : { ink: "#2a3f5f", rule: "#e3e8ef" });
  const paint = () => {
    const { ink, rule } = colours();
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const changes = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": ink };
      for (const name of Object.keys(plot._fullLayout).filter((key) => /^[xy]axis\d*$/.test(key)))
        for (const what of ["gridcolor", "zerolinecolor", "linecolor"]) changes[`${name}.${what}`] = rule;
      Plotly.relayout(plot, changes);
    }
  };
  addEventListener("load", () => {
    if (!window.Plotly) return;
    paint();
    new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  });
})();

/* Runs before first paint, so the chosen theme never flashes. An external file,
   because the content-security policy allows no inline script. */
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("rm-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (localStorage.getItem("rm-density") === "compact") root.dataset.density = "compact";
  } catch { /* storage may be switched off; then the system's theme it is */ }
})();

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
  // The server shows moments in this browser's zone, which the browser alone knows. A
  // page that was made before it knew, or elsewhere, is asked for again, once.
  try {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone) return;
    document.cookie = `rm-zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    if (root.dataset.ownZone === undefined || root.dataset.zone === zone) return sessionStorage.removeItem("rm-zone");
    if (sessionStorage.getItem("rm-zone") === zone) return;
    sessionStorage.setItem("rm-zone", zone);
    location.reload();
  } catch { /* no cookies, no storage, or no zones: it is the server's then */ }
})();

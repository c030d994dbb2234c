// What the page does beyond plain HTML: it stays fresh, previews a fix while it is typed, and copies a message.
// Everything else works without it.
"use strict";

// Regions with data-refresh are asked for again every so many seconds, unless somebody works in them or looks elsewhere.
function keepFresh(region) {
  const wait = Number(region.dataset.refresh) * 1000;
  const again = () => setTimeout(refresh, wait);
  async function refresh() {
    const current = document.getElementById(region.id);
    if (!current) return;
    const selected = window.getSelection();
    const isInUse = current.contains(document.activeElement) || (selected && !selected.isCollapsed && current.contains(selected.anchorNode));
    if (document.hidden || isInUse) { again(); return; }
    try {
      const answer = await fetch(location.href, { redirect: "error", signal: AbortSignal.timeout(10000) });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(region.id);
        if (!fresh) { location.reload(); return; }
        current.replaceWith(fresh);
        showCopies();
        if (!fresh.dataset.refresh) return;
      }
    } catch (error) { /* the server is away for a moment: what is shown stays, and is asked for again */ }
    again();
  }
  again();
}
document.querySelectorAll("[data-refresh][id]").forEach(keepFresh);

// A form with data-preview shows what the contract would say of the letter as it is mended, while it is being mended.
function previewLive(form) {
  const shown = document.getElementById(form.dataset.preview);
  let timer = 0, asked = 0;
  async function ask() {
    const mine = ++asked;
    shown.setAttribute("aria-busy", "true");
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.previewUrl, { method: "POST", body, headers: { "X-Part": "preview" }, signal: AbortSignal.timeout(10000) });
      const text = await answer.text();
      if (mine === asked) {
        const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(shown.id);
        if (fresh) shown.replaceChildren(...fresh.childNodes);
      }
    } catch (error) { /* the button still works */ }
    if (mine === asked) shown.removeAttribute("aria-busy");
  }
  const soon = (event) => {
    if (event.target.dataset.noPreview !== undefined) return;
    clearTimeout(timer);
    timer = setTimeout(ask, 200);
  };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
}
document.querySelectorAll("form[data-preview]").forEach(previewLive);

// Buttons that copy are hidden where nothing could be copied (without a secure context, or without this script).
function showCopies() {
  if (navigator.clipboard) document.querySelectorAll("button[data-copy][hidden]").forEach((button) => { button.hidden = false; });
}
showCopies();
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, 4000);
});
window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

"use strict";
// Folding of sections, and search and filters of the samples. Only attributes and texts of the page are read; nothing is
// written as HTML.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const sections = all("details.fold");
  const buttons = all(".fold-all");
  const label = () => {
    const open = sections.some((one) => one.open);
    buttons.forEach((one) => { one.textContent = open ? "fold all" : "unfold all"; });
  };
  buttons.forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const open = sections.some((one) => one.open);
      sections.forEach((one) => { one.open = !open; });
    });
  });
  sections.forEach((one) => one.addEventListener("toggle", label));

  // A link to a folded section unfolds it; on paper all are unfolded.
  const unfold = () => {
    const section = document.getElementById(location.hash.slice(1))?.querySelector("details.fold");
    if (section) { section.open = true; }
  };
  addEventListener("hashchange", unfold);
  all("nav.top a").forEach((link) => link.addEventListener("click", () => { link.closest("details").open = false; }));
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = sections.filter((one) => !one.open);
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));

  const links = all("nav.side a");
  const visible = new Set();
  const watch = new IntersectionObserver((changes) => {
    changes.forEach(({ target: one, isIntersecting }) => visible[isIntersecting ? "add" : "delete"](one.id));
    const current = links.find((link) => visible.has(link.hash.slice(1)));
    links.forEach((link) => {
      if (link === current) { link.setAttribute("aria-current", "true"); } else { link.removeAttribute("aria-current"); }
    });
  });
  all("section[id]").forEach((one) => watch.observe(one));

  const bar = document.querySelector(".filters");
  if (!bar) {
    unfold();
    return;
  }
  const PAGE = 40;
  const samples = all("details.sample");
  const groups = all(".samples");
  const texts = samples.map((sample) => sample.textContent.toLowerCase());
  const search = bar.querySelector("input");
  const selects = all("select", bar);
  const [open, clear] = all("button", bar);
  const more = document.querySelector(".more");
  const shown = () => samples.filter((sample) => !sample.hidden);
  let limit = PAGE;

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (sample, one) => !one.value || (sample.dataset[one.name] ?? "").split("|").includes(one.value);
    const found = samples.filter((sample, place) =>
      words.every((word) => texts[place].includes(word)) && selects.every((one) => fits(sample, one)));
    const first = new Set(found.slice(0, limit));
    samples.forEach((sample) => { sample.hidden = !first.has(sample); });
    groups.forEach((group) => { group.hidden = !group.querySelector("details.sample:not([hidden])"); });
    bar.querySelector("output").textContent = `${found.length} of ${samples.length} samples`;
    if (more) {
      more.hidden = found.length <= limit;
      more.textContent = `show ${Math.min(PAGE, found.length - limit)} more of ${found.length}`;
    }
  };
  const changed = () => {
    limit = PAGE;
    apply();
  };
  const reset = () => {
    [search, ...selects].forEach((field) => { field.value = ""; });
    changed();
  };

  // report.html#search=word&truncated=yes opens with these filters.
  const given = () => {
    const address = new URLSearchParams(location.hash.slice(1));
    const asked = [search, ...selects].filter((field) => address.has(field.name));
    if (!asked.length) { return; }
    [search, ...selects].forEach((field) => { field.value = address.get(field.name) ?? ""; });
    selects.filter((one) => one.selectedIndex < 0).forEach((one) => { one.selectedIndex = 0; });
    changed();
    bar.closest("details.fold").open = true;
    bar.scrollIntoView();
  };

  bar.addEventListener("input", changed);
  clear.addEventListener("click", reset);
  more?.addEventListener("click", () => {
    const next = samples.indexOf(shown().at(-1)) + 1;
    limit += PAGE;
    apply();
    samples.slice(next).find((sample) => !sample.hidden)?.querySelector("summary").focus();
  });
  open.addEventListener("click", () => {
    const closed = shown().some((sample) => !sample.open);
    shown().forEach((sample) => { sample.open = closed; });
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.closest("details.fold").open = true;
      search.focus();
    } else if (event.key === "Escape" && bar.contains(event.target)) {
      reset();
    }
  });
  bar.hidden = false;
  apply();
  unfold();
  given();
  addEventListener("hashchange", given);
})();

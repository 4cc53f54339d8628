"use strict";
// Search and filters of the samples. Only attributes and texts of the page are read; nothing is written as HTML.
(() => {
  const bar = document.querySelector(".filters");
  const samples = [...document.querySelectorAll("details.sample")];
  const groups = [...document.querySelectorAll(".samples")];
  const texts = samples.map((sample) => sample.textContent.toLowerCase());
  const search = bar.querySelector("input");
  const selects = [...bar.querySelectorAll("select")];
  const [open, clear] = bar.querySelectorAll("button");
  const shown = () => samples.filter((sample) => !sample.hidden);

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    samples.forEach((sample, place) => {
      const found = words.every((word) => texts[place].includes(word));
      sample.hidden = !(found && selects.every((one) => !one.value || sample.dataset[one.name] === one.value));
    });
    groups.forEach((group) => { group.hidden = !group.querySelector("details.sample:not([hidden])"); });
    bar.querySelector("output").textContent = `${shown().length} of ${samples.length} samples`;
  };
  const reset = () => {
    [search, ...selects].forEach((field) => { field.value = ""; });
    apply();
  };

  // report.html#search=word&truncated=yes opens with these filters.
  const given = new URLSearchParams(location.hash.slice(1));
  [search, ...selects].filter((field) => given.has(field.name)).forEach((field) => { field.value = given.get(field.name); });
  selects.filter((one) => one.selectedIndex < 0).forEach((one) => { one.selectedIndex = 0; });

  bar.addEventListener("input", apply);
  clear.addEventListener("click", reset);
  open.addEventListener("click", () => {
    const closed = shown().some((sample) => !sample.open);
    shown().forEach((sample) => { sample.open = closed; });
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && bar.contains(event.target)) {
      reset();
    }
  });
  bar.hidden = false;
  apply();
})();

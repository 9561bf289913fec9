"use strict";

// Sending a file: dropped or chosen, its size looked at before it is on its way, and how much of it has left.
(() => {
  const within = (event, selector) => event.target.closest?.(selector);
  const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB`;

  document.addEventListener("dragover", (event) => {
    const form = within(event, "[data-drop]");
    if (!form) return;
    event.preventDefault();
    form.classList.add("dropzone-over");
  });

  document.addEventListener("dragleave", (event) => {
    const form = within(event, "[data-drop]");
    if (form && !form.contains(event.relatedTarget)) form.classList.remove("dropzone-over");
  });

  document.addEventListener("drop", (event) => {
    const form = within(event, "[data-drop]");
    if (!form) return;
    event.preventDefault();
    form.classList.remove("dropzone-over");
    const input = form.querySelector("input[type=file]");
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  document.addEventListener("change", (event) => {
    const input = within(event, "input[data-max-bytes]");
    if (!input) return;
    const largest = Number(input.dataset.maxBytes);
    const problem = input.files.length > 1 ? "Send one file at a time." :
      input.files[0]?.size > largest ? `This file is larger than ${megabytes(largest)}; split it, or send it compressed as .csv.gz.` : "";
    say(input.form, problem);
    if (problem) input.value = "";
  });

  function say(form, problem) {
    const place = form.querySelector(".form-problem");
    place.replaceChildren();
    if (!problem) return;
    const alert = document.createElement("div");
    alert.className = "alert alert-danger";
    alert.textContent = problem;
    place.append(alert);
  }

  document.addEventListener("htmx:beforeSend", (event) => {
    const form = within(event, "[data-drop]");
    if (!form || event.target !== form) return;
    say(form, "");
    delete form.dataset.sentWhole;
    show(form, 0, 0);
  });

  document.addEventListener("htmx:xhr:progress", (event) => {
    const form = within(event, "[data-drop]");
    const { lengthComputable, loaded, total } = event.detail;
    // What comes back makes progress, too; it is not ours to show.
    if (form && lengthComputable && !("sentWhole" in form.dataset)) show(form, loaded, total);
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const form = within(event, "[data-drop]");
    if (form) form.querySelector("[data-sending]").hidden = true;
  });

  function show(form, loaded, total) {
    const panel = form.querySelector("[data-sending]");
    const whole = total > 0 && loaded === total;
    if (whole) form.dataset.sentWhole = "";
    panel.hidden = false;
    panel.querySelector("progress").value = total ? loaded / total : 0;
    panel.querySelector("[data-sent]").textContent =
      whole ? "All of it was sent; it is being stored…" : `${megabytes(loaded)} of ${megabytes(total)}`;
  }
})();

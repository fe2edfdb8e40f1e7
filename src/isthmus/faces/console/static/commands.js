// Command lines follow what is typed into their form, and can be copied.

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

function fill(form) {
  const code = form.querySelector(".command code");
  if (!code) return;
  code.dataset.pattern ??= code.textContent;
  const parts = [...form.querySelectorAll("[data-blank]")];
  code.textContent = parts.reduce((line, input) => {
    const { blank, flag } = input.dataset;
    const value = input.type === "file" ? [...input.files].map((file) => file.name).join(" ") : input.value;
    if (input.type === "checkbox") return line.replace(`[${flag}]`, input.checked ? flag : "").replace("  ", " ");
    if (!value) return line;
    const free = flag ? `[${flag} ${blank}]` : blank;
    const needed = flag ? `${flag} ${blank}` : blank;
    if (!line.includes(free) && !line.includes(needed)) return `${line} ${flag ? `${flag} ` : ""}${quoted(value)}`; // one more of the same
    return line.replace(flag ? `[${flag} ${blank}]` : blank, flag ? `${flag} ${blank}` : blank).replace(blank, quoted(value));
  }, code.dataset.pattern);
}

export function commands(root) {
  for (const form of root.querySelectorAll("form.act:not([data-known])")) {
    form.dataset.known = "yes";
    form.addEventListener("input", () => fill(form));
    form.addEventListener("change", () => fill(form));
  }
}

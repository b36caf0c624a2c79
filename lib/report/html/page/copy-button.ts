/** Adds a button to each text that can be copied. */
export function addCopyButtons(): void {
  for (const box of document.querySelectorAll<HTMLElement>(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${box.dataset.label ?? ""}`);
    button.addEventListener("click", async () => {
      const text = box.querySelector("pre")!;
      button.textContent = (await copy(text)) ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
    box.append(button);
  }
}

/** Copies the text to the clipboard; selects it if the browser refuses that. */
async function copy(from: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(from.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(from);
    return false;
  }
}

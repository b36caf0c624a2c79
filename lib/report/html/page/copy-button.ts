/** A button at each text that is there to be copied. */
export function copies(): void {
  for (const box of document.querySelectorAll<HTMLElement>(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${box.dataset.label ?? ""}`);
    button.addEventListener("click", async () => {
      const text = box.querySelector("pre")!;
      button.textContent = (await copied(text)) ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
    box.append(button);
  }
}

/** Puts the text on the clipboard; where the browser does not let that be, it is selected. */
async function copied(from: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(from.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(from);
    return false;
  }
}

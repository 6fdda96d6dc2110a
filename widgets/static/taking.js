// What a page hands to its reader: text on the clipboard, a file in the browser's downloads.
import { h } from "./shared.js";

/** Copies text; raises where the browser does not allow it. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = h("textarea", { style: "position:fixed;opacity:0" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser did not allow copying; save it as a file");
  return undefined;
}

/** Hands a file to the browser, which saves it as it saves downloads. */
export function saveFile(content, name, type) {
  const link = h("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

"""The basics that people with other senses and hands rely on, looked up in the page."""

from playwright.sync_api import Page

CONTRAST = 4.5

SCRIPT = """
contrast => {
  const found = [];
  const visible = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && element.getBoundingClientRect().width > 1;
  const name = element => (element.getAttribute('aria-label') || element.labels?.[0]?.innerText
    || element.innerText || element.title || element.querySelector('img')?.alt || '').trim();
  const colour = text => {
    const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith('color(') ? 255 : 1;
    return {rgb: [red * scale, green * scale, blue * scale], alpha};
  };
  const backdrop = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const {rgb, alpha} = colour(getComputedStyle(at).backgroundColor);
      layers.push([rgb, alpha]);
      if (alpha === 1) break;
    }
    return layers.reduceRight((under, [rgb, alpha]) =>
      rgb.map((value, index) => value * alpha + under[index] * (1 - alpha)), [255, 255, 255]);
  };
  const light = rgb => {
    const [red, green, blue] = rgb.map(value => value / 255)
      .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  for (const element of document.querySelectorAll('button, a[href], input, textarea, select')) {
    if (visible(element) && element.type !== 'file' && !name(element))
      found.push('no name: ' + element.outerHTML.slice(0, 120));
    if (element.tabIndex > 0) found.push('its own place in the order: ' + element.outerHTML.slice(0, 120));
  }
  for (const image of document.images) {
    if (!image.hasAttribute('alt')) found.push('no alternative text: ' + image.outerHTML.slice(0, 120));
  }
  for (const element of document.querySelectorAll('#header *, #studio *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.nodeValue.trim());
    if (!own || !visible(element) || element.closest('[disabled]')) continue;
    const [first, second] = [light(colour(getComputedStyle(element).color).rgb), light(backdrop(element))];
    const ratio = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    if (ratio < contrast) found.push(`contrast ${ratio.toFixed(2)}: ${element.innerText.slice(0, 40)}`);
  }
  if (!document.documentElement.lang) found.push('the page names no language');
  if (document.querySelectorAll('h1').length !== 1) found.push('not exactly one h1');
  return [...new Set(found)];
}
"""

ORDER = ["prompt", "generate", "ratio", "width", "height", "seed"]


def problems(page: Page) -> list[str]:
    """Return what is wrong, in words, nothing when all is well."""
    found: list[str] = page.evaluate(SCRIPT, CONTRAST)
    seen = reached_by_tab(page)
    order = [name for name in seen if name in ORDER]
    return found if order == ORDER else [*found, f"the order of the keyboard is {order}"]


def reached_by_tab(page: Page) -> list[str]:
    """Return the parts of the form in the order in which the tabulator key reaches them."""
    page.locator("#prompt textarea").focus()
    seen: list[str] = []
    for _ in range(40):
        part = page.evaluate(f"{ORDER}.find(name => document.activeElement.closest('#' + name)) ?? ''")
        if part and part not in seen:
            seen.append(part)
        if len(seen) == len(ORDER):
            break
        page.keyboard.press("Tab")
    return seen

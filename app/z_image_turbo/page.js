// What the page does without its server. The buttons are those of page_stage.py.
(() => {
  const THEME = 'z-image-turbo-theme';
  const dark = window.matchMedia('(prefers-color-scheme: dark)');

  function applyTheme() {
    const chosen = localStorage.getItem(THEME);
    const wanted = chosen ? chosen === 'dark' : dark.matches;
    document.body.classList.toggle('dark', wanted);
    document.documentElement.style.colorScheme = wanted ? 'dark' : 'light';
  }

  document.addEventListener('click', event => {
    if (!event.target.closest('[data-theme-switch]')) return;
    localStorage.setItem(THEME, document.body.classList.contains('dark') ? 'light' : 'dark');
    applyTheme();
  });

  document.addEventListener('keydown', event => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const button = document.querySelector('#generate');
    if (!event.target.closest('#prompt') || !button) return;
    event.preventDefault();
    button.click();
  });

  // A picture that is gone leaves no broken frame behind.
  document.addEventListener('error', event => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement)) return;
    const frame = image.closest('#gallery li, #picture figure');
    if (!frame) return;
    frame.remove();
    const strip = document.querySelector('#gallery');
    if (strip && !strip.querySelector('li')) strip.querySelector('h2')?.remove();
    const stage = document.querySelector('#picture .done');
    if (stage && !stage.querySelector('figure')) stage.querySelector('.caption')?.remove();
  }, true);

  document.addEventListener('click', event => {
    const chosen = event.target.closest('[data-action="speak"]');
    if (chosen) document.documentElement.lang = chosen.dataset.index;
  });

  dark.addEventListener('change', applyTheme);
  if (document.body) applyTheme();
  document.addEventListener('DOMContentLoaded', applyTheme);
  window.addEventListener('load', applyTheme);
})();

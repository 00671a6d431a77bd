// Runs before the first paint, so that a reload does not flash in the other
// theme or language. It is a file because the policy forbids inline scripts.
(function () {
  var root = document.documentElement;
  try {
    var theme = localStorage.getItem('strata.theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    var lang = localStorage.getItem('strata.lang') || navigator.language || 'en';
    root.lang = /^zh/i.test(lang) ? 'zh-CN' : 'en';
  } catch (e) {
    // Storage may be forbidden; the defaults hold.
  }
})();

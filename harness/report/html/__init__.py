"""The report that a browser shows: one self-contained page. `page` builds it; templates only place what others say."""

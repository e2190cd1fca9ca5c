"""lvtune: parameter-efficient language-vision tuning of frozen pose estimators."""

"""Pictures and pages: skeletons over pictures, charts, the report page."""

"""What a user looks at: skeletons drawn over pictures, curves, the report page."""

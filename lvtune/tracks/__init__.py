"""Who is who from one frame of a video to the next: similarity, assignment, smoothing, boxes that follow points."""

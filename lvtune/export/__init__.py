"""Export of models that run without lvtune: ONNX files, and folders that transformers loads."""

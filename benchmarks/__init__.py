"""The benchmark suite: what each way of numbering costs, measured side by side."""

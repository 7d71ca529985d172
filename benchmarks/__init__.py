"""The head-to-head suite: what each way of numbering costs, and what it is good for."""

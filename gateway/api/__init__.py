"""The native API: JSON over HTTP, for programs, the command line and the operator's pages.

``routes`` is the table of everything that can be called, by whom; ``answers`` and ``bodies`` are the JSON
shapes; ``reading`` turns bytes into a body or into an exact complaint; ``submitting`` turns a body into a
Submission; ``standing`` and ``says`` tell where a message stands; ``problems`` is the table of errors.
"""

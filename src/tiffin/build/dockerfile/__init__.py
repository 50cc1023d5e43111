"""The Dockerfile language: text to typed instructions with their place in the source.

`lexer` finds logical lines and here-documents, `parser` turns them into the dataclasses of
`instructions`, `expand` substitutes variables. No I/O.
"""

"""What is wrong with a template; apart from `template.py`, which takes 8 ms to load."""


class TemplateError(Exception):
    """A template asks for something that is not there."""


class MalformedTemplate(TemplateError):
    """It is not a template."""

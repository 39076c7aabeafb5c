"""A notebook's parameters and presets as text."""

from .files import Notebook
from .parameters import Parameter, read_parameters


def parameter_lines(notebook: Notebook) -> list[str]:
    """Name, default, meaning and choices of each parameter, then the presets."""
    parameters = list(read_parameters(notebook).values())
    lines = [f"{notebook.name}: {notebook.title}", ""]
    if not parameters:
        return lines + ["no parameters"]
    name_width = max(len(parameter.name) for parameter in parameters)
    default_width = max(len(repr(parameter.default)) for parameter in parameters)
    for parameter in parameters:
        lines.append(f"  {parameter.name:<{name_width}}  {parameter.default!r:<{default_width}}  {_about(parameter)}")
    if notebook.presets:
        lines += ["", "presets:"]
        width = max(map(len, notebook.presets))
        for preset, values in notebook.presets.items():
            settings = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "the defaults"
            lines.append(f"  {preset:<{width}}  {settings}")
    return lines


def _about(parameter: Parameter) -> str:
    """Meaning and choices."""
    if parameter.choices is None:
        return parameter.meaning
    choices = f"one of: {', '.join(map(str, parameter.choices))}"
    return f"{parameter.meaning}; {choices}" if parameter.meaning else choices

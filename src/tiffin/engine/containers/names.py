"""Names of containers: the rule, and made-up ones for those who give none."""

import random
import re
from collections.abc import Callable

from tiffin.errors import InvalidArgument

_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_TASTES = """
    aromatic baked blanched braised brined buttery candied caramel charred chilled chunky citrus
    creamy crisp crunchy crusty cured dainty drizzled earthy fermented fiery flaky fluffy folded
    fragrant fresh fried frosted fruity garnished gentle ginger glazed golden grated grilled
    hearty herbal honeyed infused juicy layered leafy lemony light mellow melted minted mulled
    nutty peppery pickled piquant plump poached puffed rich ripe roasted rustic salted savoury
    seared seasoned silky simmered smoked smooth snappy spiced sprouted steamed stewed sticky
    stirred sugared sunny tangy tart tender toasted tossed velvety warm whipped zesty
""".split()  # noqa: SIM905  # a list literal would be three screens long
_DISHES = """
    aloo amaranth apricot baguette barfi basil bhaji biryani biscuit bonda brioche broth bulgur
    bun cardamom cashew chaat chai chapati chutney cinnamon clove coconut compote coriander
    couscous cracker crepe crumble cumin curry dal dhokla dosa dumpling falafel fennel fenugreek
    fig focaccia fritter ghee gnocchi gulab halva hummus idli jalebi jam kebab kheer khichdi
    korma kulfi laddu lassi lentil lime mango masala millet mint modak momo muesli naan nutmeg
    okra olive onion pakora pancake paneer papaya paratha pasta peach pepper pesto pickle pilaf
    pistachio poha polenta poppadom pudding pulao quinoa radish raita rasam ravioli risotto roti
    saffron sambar samosa sesame sorbet soup spinach sultana tahini tamarind tea thali tikka
    toast tofu turmeric upma uttapam vada waffle walnut yam yoghurt
""".split()  # noqa: SIM905  # a list literal would be three screens long


def check_name(name: str) -> str:
    """Return `name` without leading slash; InvalidArgument unless it is one."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name.removeprefix("/")


def make_name(taken: Callable[[str], bool]) -> str:
    """Return a free name such as `zesty_samosa`."""
    for attempt in range(64):
        name = f"{random.choice(_TASTES)}_{random.choice(_DISHES)}"  # no secret
        if attempt >= 8:
            name += str(random.randrange(10**6))  # no secret
        if not taken(name):
            return name
    raise InvalidArgument("no free name found")

"""Labels of objects: connected components, consecutive numbers, and which objects a labelling has."""

from shiftjax.labelling._components import connected_components as connected_components
from shiftjax.labelling._components import drop_small as drop_small
from shiftjax.labelling._objects import Objects as Objects
from shiftjax.labelling._objects import objects as objects
from shiftjax.labelling._regions import Regions as Regions
from shiftjax.labelling._regions import regions as regions
from shiftjax.labelling._relabel import relabel as relabel

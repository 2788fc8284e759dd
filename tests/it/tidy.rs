//! What must hold of the sources themselves: the way imports point, a golden file for every plugin, documentation whose
//! configuration is configuration. Each check names the line that breaks it.

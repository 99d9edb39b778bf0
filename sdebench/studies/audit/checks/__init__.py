"""The checks of an audit, one file each.  None knows of any particular fault."""

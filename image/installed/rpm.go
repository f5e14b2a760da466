package installed

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // by its name

	"psyopsOS/image"
	"psyopsOS/image/rpm"
)

// maxSQLite bounds rpm's database: that of a whole desktop has 200 MB.
const maxSQLite = 1 << 30

// readRPM reads rpm's database in the format that it has had since 2020, where
// there is one. The older ones and SUSE's are told as unread.
func readRPM(root fs.FS, name string) ([]image.Package, error) {
	if _, err := fs.Stat(root, name); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "psyopsOS-rpmdb-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// What was written last may still be in the journal.
	for _, suffix := range []string{"", "-wal"} {
		if err := copyOut(root, name+suffix, filepath.Join(dir, "db"+suffix)); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	packages, err := queryRPM(filepath.Join(dir, "db"))
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return packages, err
}

func copyOut(root fs.FS, name, to string) (err error) {
	from, err := root.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	if info, err := from.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxSQLite {
		return errors.Join(err, fmt.Errorf("%s is no file of at most %d bytes", name, maxSQLite))
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, from)
	return err
}

func queryRPM(file string) (packages []image.Package, err error) {
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Query("SELECT blob FROM Packages ORDER BY hnum")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var header sql.RawBytes
		if err := rows.Scan(&header); err != nil {
			return nil, err
		}
		p, err := rpm.ParseInstalled(header)
		if err != nil {
			return nil, err
		}
		if p.Version == "" { // a key that was imported
			continue
		}
		packages = append(packages, image.Package{Type: "rpm", Name: p.Name, Version: p.Version, Arch: p.Arch, License: p.License, Origin: p.Source})
	}
	return packages, rows.Err()
}

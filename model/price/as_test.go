package price

import (
	"reflect"
	"testing"
)

// As copies every field but the names, so that a field added to Card cannot be
// forgotten there.
func TestAsCopiesEverything(t *testing.T) {
	c := &Card{}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case !v.Type().Field(i).IsExported():
			continue
		case f.Kind() == reflect.String:
			f.SetString("x")
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.Kind() == reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case f.Kind() == reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case f.Kind() == reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		}
	}
	got := reflect.ValueOf(c.As("p", "m")).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch {
		case name == "Provider" && got.Field(i).String() == "p", name == "Model" && got.Field(i).String() == "m":
		case v.Type().Field(i).IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), v.Field(i).Interface()):
			t.Errorf("%s is not copied", name)
		}
	}
}
